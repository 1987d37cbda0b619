"""Columnar decoding of profile-generic buffers (class_id 7, attribute 2)."""
