"""Rows from files to token ids: places -> readers -> formats | templates -> filters, split -> chat, mask -> tokenise.

Nothing in here talks to the network; files have been fetched before. torch is not needed.
"""
