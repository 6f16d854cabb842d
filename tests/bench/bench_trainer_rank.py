"""Our rank program, with a clock in it.

python -m bench_trainer_rank --task FILE
"""

import sys
from pathlib import Path

from finetune_trainer import config, rank, task, unneeded

if __name__ == "__main__":
    unneeded.leave_out(unneeded.of(config.load(task.load(Path(sys.argv[-1])).run)))
    import bench_trainer_clock  # imports transformers, and must not bring along what the rank would leave out

    bench_trainer_clock.install()
    sys.exit(rank.main())
