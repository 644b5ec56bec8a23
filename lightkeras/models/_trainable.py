class Trainable:
    _compiled = None
