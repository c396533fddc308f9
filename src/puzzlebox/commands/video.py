"""The commands for video games."""

from __future__ import annotations

from pathlib import Path

from puzzlebox.commands.command import Command, Flag, seed, switch

COMMANDS = {
    "reward-lab": Command(
        "puzzlebox.studies.reward_lab.lab:reward_lab",
        "four weightings of a reward and what each teaches, with films",
        (
            switch("--quick", "shorter training, about a minute"),
            Flag("--seeds", "how many agents per setting (default: 5, with --quick 2)", int),
            seed("the first seed"),
            Flag("--run", "the folder (default: runs/reward-lab-TIME)", Path),
        ),
    ),
    "roms": Command(
        "puzzlebox.envs.roms:import_roms",
        "import ROMs that you own, such as Sonic 2, known by their SHA-1",
        (
            Flag("action", "what to do with them", choices=("import",), parameter=""),
            Flag("directory", "where your ROM files are, zip files too", Path, metavar="DIR"),
        ),
    ),
}
