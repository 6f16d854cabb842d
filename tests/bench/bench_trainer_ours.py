"""Our trainer as its pod runs it, but for a clock in the rank.

python -m bench_trainer_ours train --run ...
"""

import sys

from finetune_trainer.__main__ import main
from finetune_trainer.supervisor import launch

if __name__ == "__main__":
    launch.RANK_PROGRAM = "bench_trainer_rank"
    sys.exit(main(sys.argv[1:]))
