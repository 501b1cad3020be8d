"""What is computed once a minute from the stored events and stored itself: clusters of liquidations, the level of risk."""
