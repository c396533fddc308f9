"""The devices: how JAX is set up before its first use, and what machine this is.

The state of the whole process (flags, the allocator, the cache of compiled programs) is changed here and nowhere else.
"""
