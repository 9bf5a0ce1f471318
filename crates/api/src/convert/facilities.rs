//! Print jobs on the wire.

use super::orders::{recipient, tracking};
use super::{etag, time};
use printmill_domain::aggregate::Versioned;
use printmill_domain::print_job::{PrintJob, PrintJobState};
use printmill_domain::problem::Problem;
use printmill_domain::shipment::Tracking;
use printmill_fulfilment::Report;
use printmill_proto::v1;

/// A print job.
pub(crate) fn print_job(job: &Versioned<PrintJob>) -> v1::PrintJob {
    let state = match job.state {
        PrintJobState::Preparing => v1::PrintJobState::Preparing,
        PrintJobState::Ready => v1::PrintJobState::Ready,
        PrintJobState::Accepted => v1::PrintJobState::Accepted,
        PrintJobState::Printing => v1::PrintJobState::Printing,
        PrintJobState::Shipped => v1::PrintJobState::Shipped,
    };
    let file = job.file.as_ref();
    v1::PrintJob {
        id: job.id.to_string(),
        facility_id: job.facility.to_string(),
        state: state.into(),
        sku: job.sku.clone(),
        pages: job.pages,
        quantity: job.quantity,
        recipient: Some(recipient(&job.recipient)),
        file_sha256: file.map(|file| file.sha256.clone()).unwrap_or_default(),
        file_size: file.map(|file| file.size as i64).unwrap_or_default(),
        tracking: job.tracking.as_ref().map(tracking),
        create_time: time(job.created_at),
        etag: etag(job.version),
    }
}

/// The state that a list is filtered by, as it is stored; nothing for all.
pub(crate) fn state_filter(state: v1::PrintJobState) -> Option<&'static str> {
    let state = match state {
        v1::PrintJobState::Unspecified => return None,
        v1::PrintJobState::Preparing => PrintJobState::Preparing,
        v1::PrintJobState::Ready => PrintJobState::Ready,
        v1::PrintJobState::Accepted => PrintJobState::Accepted,
        v1::PrintJobState::Printing => PrintJobState::Printing,
        v1::PrintJobState::Shipped => PrintJobState::Shipped,
    };
    Some(state.name())
}

/// What a facility reports.
pub(crate) fn report(request: &v1::ReportPrintJobRequest) -> Result<Report, Problem> {
    match (request.state(), &request.tracking) {
        (v1::PrintJobState::Printing, _) => Ok(Report::Printing),
        (v1::PrintJobState::Shipped, Some(tracking)) => Ok(Report::Shipped(Tracking {
            carrier: tracking.carrier.clone(),
            number: tracking.number.clone(),
            url: tracking.url.clone(),
        })),
        (v1::PrintJobState::Shipped, None) => {
            Err(Problem::invalid_field("tracking", "must be given with SHIPPED"))
        }
        _ => Err(Problem::invalid_field("state", "must be PRINTING or SHIPPED")),
    }
}
