"""Inverters: from a problem to whole action sequences."""
