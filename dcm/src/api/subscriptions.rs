//! `/api/subscribe`, `/api/subscriptions` and `/api/unsubscribe`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::input::{NAME, Rule, input};
use crate::id::SubscriptionId;
use crate::model::{Subscription, Topic};

input! {
    /// `POST /api/subscribe`
    Subscribe {
        /// Who wishes to hear.
        agent_id: String [NAME],
        /// Of what.
        topic: Topic,
        /// Kept for the client; DCM never calls it. Left out, an earlier one is dropped.
        callback_url: Option<String> [Rule::Url],
    }
}

input! {
    /// `GET /api/subscriptions`
    SubscriptionList {
        /// Only those of this agent.
        agent_id: Option<String>,
        /// Only those to this topic.
        topic: Option<String>,
    }
}

input! {
    /// `GET /api/subscriptions/{agent_id}`
    SubscriptionsOfAgent {
        /// The agent.
        agent_id: String [NAME],
    }
}

input! {
    /// `DELETE /api/subscriptions/{id}`
    SubscriptionDelete {
        /// The subscription.
        id: SubscriptionId,
    }
}

input! {
    /// `POST /api/unsubscribe`
    Unsubscribe {
        /// The agent.
        agent_id: String [NAME],
        /// The topic.
        topic: String [NAME],
    }
}

/// Answer to [`Subscribe`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Subscribed {
    /// Always true.
    pub success: bool,
    /// The subscription as it is now.
    pub subscription: Subscription,
}

/// Answer to [`SubscriptionList`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SubscriptionPage {
    /// The subscriptions, 1000 at most.
    pub subscriptions: Vec<Subscription>,
    /// How many.
    pub count: usize,
}

/// Answer to [`SubscriptionsOfAgent`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AgentSubscriptions {
    /// The agent.
    pub agent_id: String,
    /// Its subscriptions.
    pub subscriptions: Vec<Subscription>,
    /// Their topics.
    pub topics: Vec<String>,
    /// How many.
    pub count: usize,
}

/// Answer to [`SubscriptionDelete`] and [`Unsubscribe`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Unsubscribed {
    /// Always true.
    pub success: bool,
    /// What was removed.
    pub deleted: RemovedSubscription,
}

/// A subscription that was removed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RemovedSubscription {
    /// Its id.
    pub id: SubscriptionId,
    /// The agent.
    pub agent_id: String,
    /// The topic.
    pub topic: String,
}
