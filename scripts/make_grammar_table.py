"""Writes the table of the parser that `aquatint.syntax.grammar` reads instead of building it from the grammar.

Without the file, or with one of another grammar or another version of Lark, everything works and starts more slowly.
"""

from aquatint.syntax.grammar import TABLE, table


def main() -> None:
    """Write the file."""
    TABLE.write_bytes(table())


if __name__ == "__main__":
    main()
