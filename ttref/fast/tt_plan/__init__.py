"""The order in which a batch is multiplied by a train: which one, what it means, merged cores."""
