"""Devices and machines: how JAX is set up, and how agents are spread over devices.

The state of the whole process (flags, the allocator, the cache of compiled programs) is changed here and nowhere else.
"""
