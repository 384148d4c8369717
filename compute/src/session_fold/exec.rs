//! The operator: batches of events in, sessions out, one range of keys a partition.

use std::fmt::{self, Formatter};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::SchemaRef;
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, exec_err, internal_datafusion_err};
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricsSet, SpillMetrics};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning,
    PlanProperties, SpillManager,
};
use futures::{TryStreamExt, stream};
use tokio::sync::OnceCell;

use super::Fold;
use super::merge::{Merge, Source, spill, spilled_schema};
use super::runs::Folder;

/// Folds events to sessions. Every partition of the input may hold any rows in any order; partition
/// k of the output holds the k-th range of keys, ordered by key.
#[derive(Debug)]
pub struct SessionFoldExec {
    input: Arc<dyn ExecutionPlan>,
    fold: Arc<Fold>,
    projection: Vec<usize>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
    exchange: Arc<Exchange>,
}

/// The runs of each range of keys, once all input is read; each range is taken by one partition.
type Exchange = OnceCell<Vec<Mutex<Option<Vec<Source>>>>>;

impl SessionFoldExec {
    /// Over an input that has the columns that the fold reads.
    pub(super) fn new(
        input: Arc<dyn ExecutionPlan>,
        fold: Arc<Fold>,
        schema: &SchemaRef,
        projection: Vec<usize>,
    ) -> Result<Self> {
        let schema = Arc::new(schema.project(&projection)?);
        let partitions = input.output_partitioning().partition_count();
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        Ok(Self {
            input,
            fold,
            projection,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
            exchange: Arc::default(),
        })
    }
}

impl DisplayAs for SessionFoldExec {
    fn fmt_as(&self, _: DisplayFormatType, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "SessionFoldExec: stages={}", self.fold.stages)
    }
}

impl ExecutionPlan for SessionFoldExec {
    fn name(&self) -> &str {
        "SessionFoldExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    /// Rows that lie side by side must not be dealt out among partitions.
    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children.pop().ok_or_else(|| internal_datafusion_err!("no input"))?;
        let partitions = input.output_partitioning().partition_count();
        let partitioning = Partitioning::UnknownPartitioning(partitions);
        Ok(Arc::new(Self {
            input,
            fold: Arc::clone(&self.fold),
            projection: self.projection.clone(),
            properties: Arc::new((*self.properties).clone().with_partitioning(partitioning)),
            metrics: ExecutionPlanMetricsSet::new(),
            exchange: Arc::default(),
        }))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let (input, fold) = (Arc::clone(&self.input), Arc::clone(&self.fold));
        let (schema, projection) = (self.schema(), self.projection.clone());
        let spiller = SpillManager::new(
            context.runtime_env(),
            SpillMetrics::new(&self.metrics, partition),
            spilled_schema(),
        );
        let exchange = Arc::clone(&self.exchange);
        let result = Arc::clone(&schema);
        let sessions = async move {
            let gather = || gather(input, Arc::clone(&fold), &spiller, &context);
            let ranges = exchange.get_or_try_init(gather).await?;
            let sources = ranges[partition].lock().unwrap_or_else(PoisonError::into_inner).take();
            let Some(sources) = sources else {
                return exec_err!("partition {partition} of a session fold was read twice");
            };
            let rows = context.session_config().batch_size();
            let merge = Merge::start(fold, sources, &spiller, projection, schema, rows).await?;
            Ok(stream::try_unfold(merge, |mut merge| async move {
                Ok::<_, DataFusionError>(merge.next().await?.map(|batch| (batch, merge)))
            }))
        };
        let sessions = stream::once(sessions).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(result, sessions)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// Reads all partitions of the input at once.
async fn gather(
    input: Arc<dyn ExecutionPlan>,
    fold: Arc<Fold>,
    spiller: &SpillManager,
    context: &Arc<TaskContext>,
) -> Result<Vec<Mutex<Option<Vec<Source>>>>> {
    let partitions = input.output_partitioning().partition_count();
    let mut tasks = Vec::with_capacity(partitions);
    for partition in 0..partitions {
        let rows = input.execute(partition, Arc::clone(context))?;
        let held = MemoryConsumer::new(format!("SessionFoldExec[{partition}]"))
            .with_can_spill(true)
            .register(context.memory_pool());
        let task = read(rows, Arc::clone(&fold), partitions, spiller.clone(), held);
        tasks.push(SpawnedTask::spawn(task));
    }
    let mut ranges: Vec<Vec<Source>> = (0..partitions).map(|_| Vec::new()).collect();
    for task in tasks {
        let read = task.join().await.map_err(|error| DataFusionError::External(error.into()))??;
        for (range, sources) in ranges.iter_mut().zip(read) {
            range.extend(sources);
        }
    }
    Ok(ranges.into_iter().map(|sources| Mutex::new(Some(sources))).collect())
}

/// Folds one partition of the input to sorted runs, by ranges of keys.
async fn read(
    mut rows: SendableRecordBatchStream,
    fold: Arc<Fold>,
    ranges: usize,
    spiller: SpillManager,
    held: MemoryReservation,
) -> Result<Vec<Vec<Source>>> {
    let mut sources: Vec<Vec<Source>> = (0..ranges).map(|_| Vec::new()).collect();
    let (mut folder, mut types) = (Folder::new(ranges, fold.as_of), None);
    while let Some(batch) = rows.try_next().await? {
        let flags = fold.conditions.flags(&batch, &mut types)?;
        folder.fold(&batch, &flags)?;
        if held.try_resize(folder.bytes()).is_err() {
            let full = std::mem::replace(&mut folder, Folder::new(ranges, fold.as_of));
            for (range, runs) in sources.iter_mut().zip(full.ranges) {
                range.extend(spill(&spiller, runs)?);
            }
            held.free();
        }
    }
    for (range, mut runs) in sources.iter_mut().zip(folder.ranges) {
        runs.sort();
        let bytes = runs.bytes();
        range.push(Source::Held(runs, held.split(bytes)));
    }
    Ok(sources)
}
