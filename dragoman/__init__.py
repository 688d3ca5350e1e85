"""The one package that is installed: everything of the gateway lies in it, so that no name of ours meets another's."""
