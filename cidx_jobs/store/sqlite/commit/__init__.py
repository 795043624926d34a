"""How writes become durable: the one writer and its group commits."""
