"""``python -m alphadiffract_plugin``, which is also what ``torchrun -m`` launches."""

from alphadiffract_plugin.cli.app import main

if __name__ == "__main__":
    main()
