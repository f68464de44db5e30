"""A plugin that adds a command."""

from alphadiffract_plugin.hooks import hookimpl


@hookimpl
def rietveld_commands(app):
    @app.command("hello")
    def hello(name: str) -> None:
        print(f"Hello, {name}.")
