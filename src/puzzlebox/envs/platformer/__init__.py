"""The platformer: run, jump, take a run-up; rings, enemies, pits, and a reward of six terms. Begin with `world`."""
