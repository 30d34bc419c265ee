"""What a call costs: the service beside a relay that does nothing but forward."""
