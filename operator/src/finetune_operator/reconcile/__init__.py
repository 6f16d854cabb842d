"""One loop: gather -> decide -> act -> one status write.

`decide` is pure; `world` is what it sees. The rest is the machinery around it.
"""
