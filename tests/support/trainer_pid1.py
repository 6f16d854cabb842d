"""`finetune-trainer` with stand-ins for its ranks (trainer_fake_rank). `--direct` leaves `accelerate launch` out, which costs 5 s.

python -m trainer_pid1 [--direct] train --run ...
"""

import sys
from pathlib import Path

from finetune_trainer.__main__ import main
from finetune_trainer.supervisor import launch, watch

FAKE = "trainer_fake_rank"


def direct(run: object, task: Path, **_: object) -> list[str]:
    return [sys.executable, "-m", FAKE, "--task", str(task)]


if __name__ == "__main__":
    arguments = sys.argv[1:]
    watch.LINGER = 2.0
    launch.RANK_PROGRAM = FAKE
    if arguments[0] == "--direct":
        launch.command = direct  # type: ignore[assignment]
        arguments = arguments[1:]
    sys.exit(main(arguments))
