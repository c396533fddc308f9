"""A trained language model in use: writing, chatting, how likely a text is, files for other programs."""
