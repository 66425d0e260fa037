"""Liver and liver-tumour segmentation in CT: experiments that say which loss, augmentation and fine-tuning work."""
