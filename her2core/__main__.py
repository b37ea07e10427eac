"""`python -m her2core`: the command line."""

from her2core.cli import main

if __name__ == "__main__":
    main(prog_name="python -m her2core")
