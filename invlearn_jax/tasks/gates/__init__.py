"""Pulses for quantum gates: systems, propagators, the Pulse Inverter and its planner."""
