"""How accurate ProtoNet and MAML are on Omniglot, beside what is published."""
