"""`finetune-trainer` as one node of several on loopback: a port of its own for the ranks, and less patience.

python -m trainer_node PORT SILENCE train --run ... --main ...
"""

import sys

from finetune_trainer.__main__ import main
from finetune_trainer.supervisor import gang, launch

if __name__ == "__main__":
    port, silence, *arguments = sys.argv[1:]
    launch.MAIN_PORT = int(port)
    gang.SILENCE = gang.MEETING = float(silence)
    gang.PAUSE = 0.3
    sys.exit(main(arguments))
