"""What the replicas of the service share that must be quick: `Bus`, in memory or in Redis."""
