"""Fruit in any photograph: found, cut out, and measured by the line's own kernel."""
