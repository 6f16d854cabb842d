"""A result that is talked with, beside the base model it came from: a small server of OpenAI's chat completions.

Not a stage: nothing is written at the output. `kubectl finetune chat` and `serve` start it, in a pod of the job's or on a laptop.
"""
