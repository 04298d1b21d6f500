"""Measurements to grades to outlets: the sort plan applied, with guard bands, capacity and balance."""
