"""Image container and signatures, Image transfer (class_id 18) steps, rollout policy.

Its turn comes with fleet commands.
"""
