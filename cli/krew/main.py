"""Starts kubectl finetune with the packages that lie beside this file."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))

from kubectl_finetune.__main__ import main

main()
