"""`finetune-trainer` with stand-ins for its ranks (trainer_fake_rank).

python -m trainer_pid1 train --run ...
"""

import sys

from finetune_trainer.__main__ import main
from finetune_trainer.supervisor import launch, watch

if __name__ == "__main__":
    watch.LINGER = 2.0
    launch.RANK_PROGRAM = "trainer_fake_rank"
    sys.exit(main(sys.argv[1:]))
