"""Rules made at random, with what they mean: written for the rule tools, and compared with what netdash reads."""
