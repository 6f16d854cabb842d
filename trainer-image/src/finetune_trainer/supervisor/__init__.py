"""PID 1 of a training pod: fetch, start the ranks, watch, send checkpoints, publish. Never imports torch.

It has the credentials and the network, the ranks have neither; it lives, whatever happens to them.
"""

from finetune_trainer.supervisor.ending import Ending, LastMoment
from finetune_trainer.supervisor.pod import train

__all__ = ["Ending", "LastMoment", "train"]
