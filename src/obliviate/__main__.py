"""`python -m obliviate` is the command `obliviate`."""

from obliviate.cli import main

if __name__ == "__main__":
    main()
