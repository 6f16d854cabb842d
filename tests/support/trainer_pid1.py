"""`finetune-trainer` with stand-ins for its ranks (trainer_fake_rank) and, where FAKE_TRACKER names one, for its trackers.

python -m trainer_pid1 train --run ...
"""

import os
import sys

from finetune_trainer.__main__ import main
from finetune_trainer.supervisor import launch, patience, tracker_process, watch

if __name__ == "__main__":
    watch.LINGER = 2.0
    patience.TRACKERS = float(os.environ.get("TRACKERS_SECONDS", patience.TRACKERS))
    launch.RANK_PROGRAM = "trainer_fake_rank"
    if "FAKE_TRACKER" in os.environ:
        tracker_process.PROGRAM = os.environ["FAKE_TRACKER"]
    sys.exit(main(sys.argv[1:]))
