"""What a node says of itself: one wide command per fact."""
