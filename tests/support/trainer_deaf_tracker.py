"""Stands in for a tracker's process: deaf to SIGTERM, and so is what it has started in a session of its own, as W&B does.

python -m trainer_deaf_tracker FILE
"""

import os
import signal
import sys
import time
from pathlib import Path

from finetune_trainer.tracking.assignment import Assignment

if __name__ == "__main__":
    given = Assignment.model_validate_json(Path(sys.argv[1]).read_bytes())
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if os.fork() == 0:
        os.setsid()
        given.folder.joinpath("pid-child").write_text(str(os.getpid()))
    else:
        given.folder.joinpath("pid").write_text(str(os.getpid()))
    time.sleep(600)
