"""Compares Punnet with the exporters' own libraries, on exports that they made themselves: see README.md."""
