"""Raw objects of the API server -> the few facts that decisions need, as small frozen values.

A cache of whole objects costs tens of kilobytes a job; these cost about one. Nothing here decides anything.
"""
