"""Extra terms of the loss, one class a file: what a fine-tuned network should keep, or learn beside the masks.

A term is made with its options and `start`, and called with (task, batch, logits); it returns a scalar. Its class says
what it needs: `needs_target` (slices of finetune.target_root in each batch), `needs_source_data` (labelled slices of
the run finetune.source_data in each batch), `needs_teacher` (a source whose weights fill the whole network),
`needs_full_resolution` (features of the image's size).
"""

from lightning_liver.finetune.terms.discriminator import DomainAdversarial
from lightning_liver.finetune.terms.distillation import Conservation
from lightning_liver.finetune.terms.l2_sp import WeightConservation
from lightning_liver.finetune.terms.pseudo_labelling import PseudoLabels
from lightning_liver.finetune.terms.second_head import Reconstruction, TumourPresence
from lightning_liver.finetune.terms.source_task import SourceTask

# the names that the configs of all versions have
conservation = Conservation
conservation_weights = WeightConservation
domain_adversarial = DomainAdversarial
pseudo_labels = PseudoLabels
reconstruction = Reconstruction
source_task = SourceTask
tumour_presence = TumourPresence
