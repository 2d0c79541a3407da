"""Instances: started as processes, watched, frozen, stopped; and the kit's own Redis."""
