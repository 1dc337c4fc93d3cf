"""Pay-i's REST API on a store of one's own: where several applications send their events. Started by `payi serve`."""
