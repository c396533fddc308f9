"""A trained language model in use: writing, chatting, how likely a text is, files for other programs.

Models come by name from `runs.build`. Nothing here trains, and nothing judges whether an answer is good.
"""
