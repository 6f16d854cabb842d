"""One loop: gather -> decide -> act -> one status write.

`decide` is pure; `world` is what it sees. `caches`, `queue`, `loop`, `resync`, `progress` and `elector` are the machinery around it.
"""
