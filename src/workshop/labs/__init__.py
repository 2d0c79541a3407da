"""Tools that make an effect visible: NAT, reconnect storm, cost planner, go-live checklist."""
