"""What a run will need, told before a GPU is asked for: memory by part, seconds, the micro-batch that fits. See docs/estimate.md.

    shape      sizes of the model, read from one that was built without memory
    setting    what of run.json decides the memory
    memory     bytes by part, at the moment that needs most
    work       tokens that really pass through the model, and seconds
    fitting    the largest micro-batch that fits, and what else would
    verdict    the numbers, advice or refusal that Prepare ends with

Pure but for `shape.read`, which looks at a model. Nothing here imports torch.
"""
