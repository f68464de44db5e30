"""How both scripts of a bundle find GSAS-II and the modules beside them."""

IMPORTS = """try:
    from GSASII import GSASIIscriptable, GSASIIstrMain
except ImportError:
    try:
        import GSASIIscriptable
        import GSASIIstrMain
    except ImportError:
        sys.exit("GSAS-II is not importable. Run this with the Python that GSAS-II is installed in.")

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER))
sys.dont_write_bytecode = True
"""
"""It stands after the imports of the standard library, and before those of the modules that are copied beside it."""
