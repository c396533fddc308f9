"""The data that algorithms learn from, and the files it is stored in.

Replay memories; tokenizers, chat templates and packed token rows; data sets for language models; checkpoints in the
formats of Hugging Face, PEFT and llama.cpp. Nothing here acts or trains.
"""
