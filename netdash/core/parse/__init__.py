"""Raw answers of one source each -> records. Pure; joins nothing."""
